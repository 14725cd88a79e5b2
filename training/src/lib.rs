//! Trains CLIP, the prior, the decoder and the upsampler.
