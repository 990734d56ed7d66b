"""The making of `tiny-image`: a FLUX pipeline of a few million parameters, from drawn pictures."""
