"""``whyact serve``: a local page to look at an answer, question it and export it."""
