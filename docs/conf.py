"""Sphinx's settings for `make site`, and the links that code spans become. `docs/build.py` gathers the pages."""

import posixpath

from docutils import nodes

project = "DanceMVP, reproducible"
copyright = "its authors; MIT licence"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["README.md"]  # the front page includes it
nb_execution_mode = "off"
default_role = "literal"  # docstrings put commands in single backticks
# Members that other libraries add: pydantic's, and scikit-learn's requests of metadata.
ADDED = ("model_config", "ttest_ind", *(f"set_{name}_request" for name in ("fit", "partial_fit", "transform", "inverse_transform")))
autodoc_default_options = {"members": True, "member-order": "bysource", "exclude-members": ", ".join(ADDED)}
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = project
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False

CORE = "dancemvp_core"


def target(text: str, docname: str, pages: set[str], objects: dict) -> tuple[str, str] | None:
    """(page, anchor) of what a code span on the page ``docname`` names, None for anything else.

    It may name a page by its path (from this page or the project), a notebook, or a module or member of the core by its path
    or dotted name, from the core or from the room of the page. One bare word is a module only where the text is about modules.
    """
    stem, folder = text.strip("/").removesuffix("()"), posixpath.dirname(docname)
    if text.endswith(".md"):
        page = stem.removesuffix(".md")
        places = [posixpath.normpath(posixpath.join(folder, page)), page]
        return next(((place, "") for place in places if place in pages), None) or (("index", "") if places[0] == "README" else None)
    if "_" in stem and f"notebooks/{posixpath.basename(stem).removesuffix('.ipynb')}" in pages:
        return f"notebooks/{posixpath.basename(stem).removesuffix('.ipynb')}", ""
    about_modules = docname.startswith(CORE) or docname == "api/index"
    if about_modules or any(mark in text for mark in "./"):
        name, room = stem.removesuffix(".py").replace("/", "."), posixpath.basename(folder if docname.startswith(CORE) else docname)
        for full in (name, f"{CORE}.{name}", f"{CORE}.{room}.{name}"):
            if full in objects:
                return objects[full].docname, objects[full].node_id
    return None


def link_names(app, doctree, docname):
    """Turn each code span that names something on this site into a link to it."""
    for span in list(doctree.findall(nodes.literal)):
        found = target(span.astext(), docname, app.env.found_docs, app.env.domains["py"].objects)
        if found and found != (docname, "") and not isinstance(span.parent, nodes.reference):
            page, anchor = found
            uri = app.builder.get_relative_uri(docname, page) + (f"#{anchor}" if anchor else "")
            link = nodes.reference("", "", span.deepcopy(), internal=True, refuri=uri)
            span.replace_self(link)


def setup(app):
    app.connect("doctree-resolved", link_names)
