//! CLIP: a tokenizer, a text transformer and a vision transformer with one embedding space.
