"""What of the UI's build stays in the wheel: pages of what no run file holds, and what only they load.

The build is split into chunks, and the main one names those of each page. Left out are the pages of
the gateway, the MCP registry, users, prompts, judges, reviews, chats, evaluations, the playground and
registered models; the editor that two of them bring is 5 MB alone. ``shim/leftout.js`` tells whoever
asks for such a page. ``tests/mlflow/test_leftout.py`` reads from the build itself that no other page
loads any of this.
"""

from typing import Final

# Of the pinned version. Seven of them (5075, 7753, …) belong to the notebook renderer: the main
# bundle does not know them at all.
# fmt: off
CHUNKS: Final = (
    109, 113, 281, 309, 323, 329, 369, 889, 994, 1126, 1181, 1294, 1300, 1407, 1647, 1731,
    1800, 1933, 1980, 2233, 2473, 2544, 2711, 2800, 2843, 2979, 3045, 3203, 3242, 3273, 3287, 3487,
    3510, 3561, 3581, 3621, 3642, 3723, 3869, 3945, 3961, 4028, 4038, 4060, 4089, 4181, 4201, 4219,
    4293, 4329, 4377, 4466, 4479, 4534, 4558, 4575, 5075, 5181, 5257, 5465, 5493, 5745, 5897, 6013,
    6049, 6121, 6221, 6291, 6342, 6383, 6537, 6549, 6553, 6598, 6606, 6741, 6857, 6897, 6953, 7007,
    7019, 7049, 7075, 7097, 7261, 7273, 7299, 7301, 7421, 7458, 7465, 7519, 7561, 7614, 7650, 7753,
    7817, 7854, 8093, 8115, 8116, 8353, 8376, 8409, 8461, 8505, 8553, 8621, 8745, 8889, 8891, 8892,
    8937, 8953, 8969, 9001, 9297, 9393, 9433, 9537, 9571, 9609, 9981, 9995,
)
# fmt: on
# Of the icon font only the form that every browser of the last ten years takes (woff2) is kept.
UNUSED: Final = (
    "lib/notebook-trace-renderer/*",
    "asset-manifest.json",
    *(f"static/*/{chunk}.????????.chunk.*" for chunk in CHUNKS),
    "static/js/monaco-*.worker.*",
    "static/media/codicon.*",
    "static/media/eval-runs-empty.*",
    "static/media/promo-modal-content.*",
    "static/media/fontawesome-webfont.*.eot",
    "static/media/fontawesome-webfont.*.svg",
    "static/media/fontawesome-webfont.*.ttf",
    "static/media/fontawesome-webfont.*.woff",
)
