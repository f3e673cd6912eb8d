//! Published address ranges of clouds, as a longest-prefix map from address to location. Pure.
