"""The torch code that training and inference share."""
