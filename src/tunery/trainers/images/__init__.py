"""Learning from captioned pictures: rectified-flow transformers of FLUX's kind."""
