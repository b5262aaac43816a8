"""What the commands in ``bin/`` run. No part of the installed package."""
