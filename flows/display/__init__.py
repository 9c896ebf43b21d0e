"""Tables and text that are safe to show on consoles, in HTML and in Markdown."""
