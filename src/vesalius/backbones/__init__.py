"""Vision backbones behind one interface."""
