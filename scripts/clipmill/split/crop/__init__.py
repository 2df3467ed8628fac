"""What of a scene's picture is no picture: bars, text and logos that stand still. And the rectangle without them."""
