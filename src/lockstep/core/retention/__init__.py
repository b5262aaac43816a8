"""What has expired cannot be read: tables whose rows have a last day, kept to it by the database itself.

``operations.Expiring`` makes such a table in a migration, ``sql`` holds what stands in the database, ``sweeping`` drops
what has expired, ``holds`` keeps what a lawsuit needs, ``evidence`` says how things stand.
"""
