"""The Streamlit front end: it reads `aecore` and holds no mathematics."""
