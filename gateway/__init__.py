"""Who may ask, what answers, which replica."""
