//! The decoder and the upsamplers: from a CLIP image embedding to a picture.
