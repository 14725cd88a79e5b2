//! From a caption to a picture: tokenise, encode, draw the embedding, decode, upsample.
