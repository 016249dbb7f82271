"""Which image gets which intervention: fair, safe and text-enhancing generation, and policies that combine them."""
