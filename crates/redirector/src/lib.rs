//! The front: one name whose every pull goes to the nearest healthy copy.
