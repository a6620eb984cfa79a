"""Components that run in the browser: drawn on a canvas, they answer the user without the server.

Each folder holds one component: a Python function of the same name with its JavaScript and CSS beside it. A component
receives its images once, as one packed value (see `pack`), draws from them while the user drags, and reports to Python
when the user lets go.
"""
