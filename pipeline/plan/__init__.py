"""Tables of the paper as lists of experiments and fits, and what of them is there."""
