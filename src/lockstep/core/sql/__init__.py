"""What other apps' functions in the database may call of core."""
