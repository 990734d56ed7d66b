"""Tests of the torch code that training and inference share."""
