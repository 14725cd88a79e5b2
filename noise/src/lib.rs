//! Random numbers as torch's CPU generator draws them: one stream a picture.
