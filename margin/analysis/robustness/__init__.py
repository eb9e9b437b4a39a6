"""Where points of control conditions land, and what of the margin withstands an attack."""
