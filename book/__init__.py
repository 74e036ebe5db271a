"""The program that makes the site: it runs the code of the pages and shows the result.

`python -m book.execute` runs every python block of README.md and docs/, `book.hooks`
puts what the blocks printed and drew into the pages when mkdocs builds them, and
`python -m book.notebooks` makes notebooks of the tutorials.
"""
