"""The small words of English: what may stand around a phrase, and what a phrase leaves dangling when it is cut out."""

from __future__ import annotations

from collections.abc import Sequence

from directrix.policies.wording.lexicon import Lexicon
from directrix.policies.wording.tokens import Word, word_set

ARTICLES = word_set("a an the")
DETERMINERS = ARTICLES | word_set("any some his her its their this that these those my our your one")
CONJUNCTIONS = word_set("and or but nor yet plus")
PREPOSITIONS = word_set(
    "with in on at of from by for to into onto under over near beside behind between among during after "
    "before around across about above below inside outside through without against within along toward "
    "towards beyond via as amid amongst next while where when who whom whose which that because since "
    "until so than like if then though although"
)
AUXILIARIES = word_set(
    "is are was were be being been am has have had having do does did can could may might must shall "
    "should will would there he she they it i we you"
)
_LATER = word_set(
    "visible please allowed shown anywhere whatsoever present permitted involved required either too also "
    "here today tonight nearby alone together again outdoors indoors regardless irrespective cartoon flat "
    "3d photo photorealistic digital oil style render art just only even all both not no never neither "
    "half each every out off away aside itself themselves "
    "years months weeks long forever ago anymore once yet still already"
)
# What may follow a noun that ends its phrase.
FUNCTION = DETERMINERS | CONJUNCTIONS | PREPOSITIONS | AUXILIARIES | _LATER
NEGATORS = word_set(
    "not never no without neither nor hardly barely scarcely rarely seldom nobody none cannot non less least nothing"
)
# "not only armed" says that he is.
ADDING = word_set("only just merely simply solely necessarily")
_BETWEEN = DETERMINERS | word_set(
    "very so really particularly exactly quite fully entirely completely totally at all be is are always "
    "even especially remotely longer as such ever actually truly overly too seem seems look looks being "
    "been"
)
_NO_ADVERB = word_set(
    "belly lovely friendly lonely elderly silly ugly lively deadly early "
    "kelly sally emily molly billy holly polly lilly milly willy italy july butterfly fly assembly homily ally "
    "jelly family lily bully supply ally seed weed bed shed king ring string"
)
_NO_PERSON = word_set(
    "flower water paper color weather corner tower river letter number poster computer powder leather "
    "counter dinner sweater order floor door mirror motor tractor interior exterior error favor flavor "
    "odor layer butter pepper winter summer feather ladder paper center border shower decor finger "
    "shoulder filter number timber chamber rubber copper silver amber ember cover hover lower upper outer inner "
    "other another "
    "either neither however whatever whenever forever never ever over under after better bigger smaller larger "
    "lighter darker brighter wildflower cauliflower sunflower skyscraper newspaper wallpaper container trailer "
    "scooter helicopter escalator elevator refrigerator calculator generator radiator reactor vector "
    "sector factor anchor armor harbor labor vapor humor tumor rumor meteor monitor projector "
    "list mist fist twist mountain"
)
_PERSON_ENDINGS = ("er", "or", "ist", "ian", "man", "men", "ers", "ors", "ists", "ians", "people", "person")


def _lexicon(*phrases: str) -> Lexicon[bool]:
    lexicon: Lexicon[bool] = Lexicon()
    for phrase in phrases:
        lexicon.add(phrase, True)
    return lexicon


# Between a negation and what it denies.
FILLERS = _lexicon(
    "a|an|the|any|some|his|her|its|their|such|more|other|single|one|kind|kinds|whatsoever|visible|actual|real|all|two",
    "[slightest|smallest|faintest|least] sign|signs|trace|traces|hint|hints|bit|drop of",
    "sort|type|form|kind|kinds|sorts|types|forms of",
    "glass|glasses|bottle|bottles|pint|pints|mug|mugs|puff|whiff|piece|sip|sips|pack|packs|can|cans|sniff of",
    "stein|steins|tankard|tankards|jug|jugs|barrel|barrels|keg|kegs|case|cases|crate|crates|flute|flutes of",
    "flagon|flagons|goblet|goblets|shots|round|rounds|bottles|cup|cups|carafe|carafes|jar|jars|box|boxes|pool|pools of",
    "display|use|presence|depiction|mention|consumption|possession|depictions|images|display|touch|shot of",
    "a|the need for|of",
    "so much as",
    "him|her|them|everyone|everybody|anyone|anybody|someone|somebody|anything|something",
    "scene|scenes|sight|sights|act|acts|element|elements|reference|references|mentions|glimpse of",
    "depicting|showing|portrayal|portrayals|glorification|suggestion|image|amount|amounts [of]",
    "slightest|least|smallest|tiniest",
    "both|either|even|ever|actually|currently|visibly|openly|holding|to|be|being|been|is|are|was|were|have|has|having",
    "allowed|permitted|supposed|going|about to",
    "shown|seen|depicted|pictured [with]",
    "in the picture|photo|image|scene|frame",
    "of the guards|people|group|crew|team|others",
    "there|here",
)
MODIFIERS = word_set(
    "deadly dangerous sharp loaded lethal visible hidden cold lit burning strong hard empty big small old "
    "new large cheap obvious apparent kitchen harmful bloody real toy open half-empty conspicuous "
    "concealed drawn"
)
_VERBS = (
    "hold holds holding carry carries carrying carried wield wields wielding bear bears bearing bring brings bringing "
    "use uses using used brandish brandishes brandishing wear wears wearing show shows "
    "showing depict depicts depicting "
    "include includes including contain contains containing drink drinks drinking consume consumes consuming sip sips "
    "sipping smoke smokes smoking display displays own owns owning possess possesses possessing keep keeps keeping "
    "point points pointing touch touches touching serve serves serving want wants see draw draws need needs needing "
    "like likes feature features featuring have has having get gets getting add adding grip gripping clutch clutching "
    "hide conceal concealing pack packing enjoy enjoying order ordering pour pouring drawing reach reaching hang "
    "involve involving raise raising light lights lighting promote promoting glorify allow allows allowing do doing "
    "equipped armed take takes taking put give gives giving hand handing offer offering depict paint render paints"
)
VERBS = word_set(_VERBS) - {"hide"}
# After a denied thing, and part of the phrase.
TRAILING = _lexicon(
    "of any kind|sort|type|description",
    "of any kind|sort|type whatsoever",
    "at all",
    "whatsoever",
    "anywhere [in] [sight]",
    "anywhere in the picture|image|photo|scene|frame",
    "[anywhere] in sight|view",
    "[anywhere|visible] in the picture|image|photo|scene|frame|shot|hand",
    "in this|that picture|image|photo|scene",
    "in [his|her|their|the] hand|hands",
    "to be seen|found",
    "or anything like that|it",
    "or the like",
    "or similar",
    "[being] allowed|permitted|shown|present|visible|involved|included|please|required|needed|served",
    "around|nearby|either|left",
    "entirely|completely|altogether|totally",
    "in front of him|her|them|it",
    "thrown|fired|raised|spilled|shed|exchanged|swung|landed",
    "years|months|weeks|long ago",
    "any more|longer",
    "in equal numbers|measure|shares|parts",
    "[,] all|both|either|each is|are fine|welcome|okay|ok|good|possible",
    "in it",
    "[right] here",
    "in|from the room|crowd|air|frame|background|foreground|house|bar|street|bottle|bottles",
    "on him|her|them",
    "on the table|tables|counter|menu|wall|walls",
    "in his|her|their mouth|mouths|belt|pocket|pockets|lips",
    "between his|her|their lips|teeth|fingers",
    "at his|her|their side|hip|belt|hips",
    "from|in the picture|image|photo|scene|frame|shot|view|composition",
    "to drink|smoke",
    "on|about|with|near him|her|them",
    ", please",
    "is|are|being served|allowed|permitted|shown|involved|present|visible|included|drunk|around|there",
    "is|are to be seen",
)


def trailing(words: Sequence[Word], at: int) -> int:
    """Where the words that belong to a phrase that ends at `at` end: "no guns at all", but not "no guns around a
    fire"."""
    hit = TRAILING.match(words, at)
    if hit is None:
        return at
    open_end = words[hit.stop - 1].text in ("around", "left", "there") and hit.stop < len(words)
    return at if open_end and words[hit.stop].text in DETERMINERS else hit.stop


def person(words: Sequence[Word], at: int, subjects: Lexicon[bool]) -> bool:
    """Whether the word at `at` names a person, a group or a picture of them: listed, or by its ending."""
    if at >= len(words):
        return False
    text = words[at].text
    stem = text.removesuffix("s")
    return bool(subjects.match(words, at)) or (
        len(text) > 4 and stem not in _NO_PERSON and text.endswith(_PERSON_ENDINGS)
    )


def ends_noun(words: Sequence[Word], at: int) -> bool:
    """Whether a noun before `at` is the last of its phrase: "no beer, " or "no beer in", but not "no beer garden"."""
    if at >= len(words):
        return True
    word = words[at]
    if word.joined:
        return False
    if word.mark or word.text in FUNCTION:
        return True
    return word.text.endswith(("ly", "ing", "ed", "n't")) and word.text not in _NO_ADVERB


def negated(words: Sequence[Word], at: int, since: int = 0) -> bool:
    """Whether the words just before `at` (from `since`) deny what stands there."""
    before = at - 1
    while before >= since and words[before].text in _BETWEEN:
        before -= 1
    if before < since:
        return False
    text = words[before].text
    pair = (words[before - 1].text if before > since else "", text)
    if pair in {
        ("anything", "but"),
        ("far", "from"),
        ("instead", "of"),
        ("rather", "than"),
        ("lack", "of"),
        ("no", "means"),
        ("no", "way"),
    }:
        return True
    return (text in NEGATORS and pair != ("or", "not")) or text.endswith("n't")
