"""Labelled images: MNIST, Fashion-MNIST, CIFAR-10, from the user's folder or a public mirror.

Each data set is located, verified, decoded once and from then on mapped from the cache; no file is
decoded before its checksum matches. ``RLIDIM_DATA`` names a folder of copies, for machines without
a network; ``RLIDIM_CACHE`` moves the cache.
"""
