"""Anatomical knowledge: maps made once for every image of a store, and the losses that teach by them."""
