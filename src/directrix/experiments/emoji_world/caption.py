"""The grammar of captions: a scene and chance give a sentence that is true of the image."""

import numpy as np

from directrix.experiments.emoji_world.scene import Scene
from directrix.measurement.judges import emoji_vocabulary as words

FRAMES = ("a photo of", "a picture of", "an image of", "a portrait of", "a headshot of", "a drawing of", "an emoji of")
FRAME_SHARE = 0.7
# Words of praise or mood that no image shows: they must not move the model.
ADJECTIVES = ("successful", "happy", "famous", "friendly", "nice")
ADJECTIVE_SHARE = 0.08
CATEGORY_WORD_SHARE = 0.25
CATEGORY_PHRASE_TEXTS = tuple(text for texts in words.CATEGORY_PHRASES.values() for text in texts)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def with_article(noun_phrase: str) -> str:
    """The noun phrase after "a" or "an"."""
    return f"{'an' if noun_phrase[0] in 'aeiou' else 'a'} {noun_phrase}"


def subject_phrase(scene: Scene, rng: np.random.Generator) -> str:
    """A noun phrase such as "a dark-skinned female cook" that says what the caption names of the subject."""
    if scene.subject in words.NON_PEOPLE:
        noun = words.NON_PEOPLE[scene.subject].phrases[0]
        return with_article(f"{_pick(rng, ADJECTIVES)} {noun}" if rng.random() < ADJECTIVE_SHARE else noun)
    gender = scene.gender if "gender" in scene.named else None
    tone = scene.tone if "tone" in scene.named else None
    after = ""
    if scene.subject == words.PERSON or "subject" not in scene.named:
        noun = {None: "person", "female": "woman", "male": "man"}[gender]
        if gender and rng.random() < 0.2:
            noun = f"{gender} person"
    else:
        noun = (words.JOINED_OCCUPATIONS | words.SIGNED_OCCUPATIONS | words.FANTASY)[scene.subject]
        # The plain word in most captions, so that it is the best known one.
        noun = noun.phrases[0] if rng.random() < 0.75 else _pick(rng, noun.phrases)
        if gender:
            human = {"female": "woman", "male": "man"}[gender]
            form = rng.random()
            if form < 0.6:
                noun = f"{gender} {noun}"
            elif form < 0.8:
                noun = f"{human} {noun}"
            else:
                noun, after = human, f" working as {with_article(noun)}"
    if tone:
        if rng.random() < 0.75:
            noun = f"{tone}-skinned {noun}"
        else:
            after = f" with {tone} skin{after}"
    if rng.random() < ADJECTIVE_SHARE:
        noun = f"{_pick(rng, ADJECTIVES)} {noun}"
    return with_article(noun) + after


def item_phrase(scene: Scene, rng: np.random.Generator) -> str:
    """Words for the item held, sometimes only for its category."""
    category = scene.item_category
    if category in words.CATEGORY_PHRASES and rng.random() < CATEGORY_WORD_SHARE:
        return _pick(rng, words.CATEGORY_PHRASES[category])
    phrases = words.ITEM_OBJECTS[scene.item].phrases
    return phrases[0] if rng.random() < 0.7 else _pick(rng, phrases)


def is_true(text: str, of: Scene, shown: Scene) -> bool:
    """Whether ``text``, a caption of one scene, is also true of what another one shows."""
    named = of.named
    if "subject" in named and of.subject != words.PERSON:
        if of.subject != shown.subject:
            return False
    elif shown.subject not in words.PEOPLE:
        return False
    if any(getattr(of, name) != getattr(shown, name) for name in named & {"gender", "tone", "style", "setting"}):
        return False
    if "item" in named and of.item != words.NO_ITEM:
        if any(phrase in text for phrase in CATEGORY_PHRASE_TEXTS):
            return of.item_category == shown.item_category
        return of.item == shown.item
    return True


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence true of the scene that names exactly what ``scene.named`` holds."""
    parts = [subject_phrase(scene, rng)]
    if "item" in scene.named and scene.item != words.NO_ITEM:
        parts.append(f"{_pick(rng, ('with', 'with', 'holding'))} {item_phrase(scene, rng)}")
    if "setting" in scene.named and scene.setting != words.PLAIN_SETTING:
        parts.append(_pick(rng, words.SETTING_PHRASES[scene.setting]))
    sentence = " ".join(parts)
    if rng.random() < FRAME_SHARE:
        sentence = f"{_pick(rng, FRAMES)} {sentence}"
    if "style" in scene.named:
        sentence = f"{sentence}, {_pick(rng, words.STYLE_PHRASES[scene.style])}"
    return sentence
