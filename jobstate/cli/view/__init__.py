"""What the commands draw: lines of text for people, aligned and folded for the terminal."""
