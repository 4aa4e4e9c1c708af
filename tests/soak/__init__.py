"""An hour of a network where everything goes wrong at random, and the invariants after each story of it."""
