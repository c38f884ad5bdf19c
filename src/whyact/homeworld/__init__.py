"""A generated household world: states first, everything else read off them.

``write.py`` draws worlds and writes them; ``states.py`` is what a later drawing of pixels starts from.
"""
