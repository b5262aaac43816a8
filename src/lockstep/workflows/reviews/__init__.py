"""The page of a review, in the admin and behind a link of its own: one form, one way to decide."""
