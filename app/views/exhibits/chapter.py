"""The chapter: its sections, equations and figures in order, each with the places where it is alive."""

from __future__ import annotations

import re
from typing import NamedTuple

import streamlit as st

from aecore import CATALOG, paths
from aecore.runs.folder import Run
from aecore.runs.library import pretrained
from app import pages
from app.figures import plots
from app.link import VERSION, copy_button
from app.text import escape_markdown

ERRATA = paths.PRETRAINED.parent / "docs/errata.md"


class Part(NamedTuple):
    """A section: what it says in our words, its equations by number, and (label, view, query) of live places."""

    number: str
    title: str
    idea: str
    equations: tuple[tuple[int, str], ...] = ()
    places: tuple[tuple[str, str, dict[str, str]], ...] = ()


RECON = r"\term{recon}{\Delta(x, B \circ A(x))}"
KL = r"\term{kl}{D_{KL}\left(q_\phi(z|x) \,\Vert\, p_\theta(z)\right)}"
LIKELIHOOD = r"\term{recon}{\mathbb{E}_{q_\phi(z|x)} \log p_\theta(x|z)}"
PARTS = (
    Part(
        "1",
        "Autoencoders",
        "An encoder A squeezes, a decoder B restores; both learn from the difference alone.",
        ((1, rf"\arg\min_{{A,B}} \mathbb{{E}}\left[{RECON}\right]"),),
        (
            ("Fig. 1: a picture passes through", "reconstruct", {"run": "deep-16"}),
            ("Exhibit: bottleneck", "bottleneck", {}),
            ("Exhibit: layer by layer", "layers", {}),
        ),
    ),
    Part(
        "2",
        "Regularized autoencoders",
        "Where the code is not narrow, something else must keep A from copying.",
        (),
        (("Exhibit: regularizers", "regularizers", {}),),
    ),
    Part(
        "2.1",
        "Sparse autoencoders",
        "Few units may be active for an image, or each unit for few images.",
        (
            (2, rf"\mathbb{{E}}\left[{RECON}\right] + \lambda \term{{sparsity}}{{\textstyle\sum_i |a_i|}}"),
            (
                3,
                rf"\mathbb{{E}}\left[{RECON}\right] + "
                r"\term{sparsity}{\textstyle\sum_j D_{KL}(p \Vert \hat p_j)}",
            ),
        ),
    ),
    Part(
        "2.2",
        "Denoising autoencoders",
        "The input is damaged, the answer must be whole.",
        (
            (4, r"C_\sigma(\tilde x|x) = \mathcal{N}(x, \sigma^2 I)"),
            (5, r"C_p(\tilde x|x) = \beta \odot x,\quad \beta \sim \mathrm{Ber}(p)"),
        ),
        (
            ("Fig. 2: damaged, code, restored", "denoising", {}),
            ("One image through it", "reconstruct", {"run": "denoising-32"}),
        ),
    ),
    Part(
        "2.3",
        "Contractive autoencoders",
        "Small steps of the input shall hardly move the code.",
        ((6, rf"\mathbb{{E}}\left[{RECON}\right] + \lambda \term{{jacobian}}{{\lVert J_A(x) \rVert_F^2}}"),),
    ),
    Part(
        "3",
        "Variational autoencoders",
        "The code is random, and its likelihood is bounded from below.",
        (
            (
                7,
                r"\log p_\theta(x) = D_{KL}\left(q_\phi(z|x) \Vert p_\theta(z|x)\right) + \mathcal{L}(\theta, \phi; x)",
            ),
            (8, r"\mathcal{L} = \mathbb{E}_{q_\phi(z|x)}\left[-\log q_\phi(z|x) + \log p_\theta(x, z)\right]"),
            (9, rf"\mathcal{{L}} = -{KL} + {LIKELIHOOD}"),
            (10, r"\mathcal{L}(\theta, \phi; X) \approx \tfrac{N}{M} \textstyle\sum_{i=1}^{M} \mathcal{L}(x_i)"),
        ),
        (
            ("Fig. 3: inside a VAE", "inside", {}),
            ("Code and image", "map", {"run": "vae-2d"}),
            ("One image and its terms", "reconstruct", {"run": "vae-16"}),
        ),
    ),
    Part(
        "3.1",
        "The reparameterization trick",
        "Draws become a function of noise, so that gradients pass; several draws, weighed, tighten the bound.",
        (
            (
                11,
                r"\tilde{\mathcal{L}} = \tfrac{1}{L} \textstyle\sum_l \log p_\theta(x, z^{(l)}) "
                r"- \log q_\phi(z^{(l)}|x)",
            ),
            (12, r"\hat{\mathcal{L}}_M = \tfrac{N}{M} \textstyle\sum_{i=1}^{M} \tilde{\mathcal{L}}(x_i)"),
            (
                13,
                r"\tfrac{1}{L} \textstyle\sum_l \log \tfrac{1}{k} \sum_{j=1}^{k} "
                r"\frac{p_\theta(x, z^{(j,l)})}{q_\phi(z^{(j,l)}|x)}",
            ),
        ),
        (("Draws and their weights", "importance", {"run": "iwae-16"}),),
    ),
    Part(
        "3.2",
        "Example: the normal distribution",
        "An encoder of means and variances, and a squared error.",
        (
            (14, r"z = h(x)\, \xi + g(x),\quad \xi \sim \mathcal{N}(0, I)"),
            (
                15,
                r"\term{recon}{c \lVert x - f(z) \rVert^2} + "
                r"\term{kl}{D_{KL}\left(\mathcal{N}(g(x), h(x)) \,\Vert\, \mathcal{N}(0, I)\right)}",
            ),
        ),
        (
            ("The reparameterisation, step by step; Algorithm 1", "inside", {}),
            ("A code with its spread", "reconstruct", {"run": "vae-2d"}),
        ),
    ),
    Part(
        "3.3",
        "Disentangled autoencoders",
        "A heavier KL makes units less dependent on each other.",
        ((16, rf"\mathcal{{L}} = -\beta {KL} + {LIKELIHOOD}"),),
        (
            ("Exhibit: β-disentanglement", "beta", {}),
            ("Units of a β-VAE on sprites", "traverse", {"run": "beta-vae-sprites"}),
        ),
    ),
    Part(
        "4.1",
        "Generative model",
        "Draw from the prior, decode.",
        (),
        (("Fig. 4: originals beside draws", "generate", {"run": "vae-2d"}),),
    ),
    Part(
        "4.2",
        "Classification",
        "Codes as features where labels are few.",
        (),
        (("Fig. 5: one code for classifier and decoder", "classify", {}),),
    ),
    Part(
        "4.3",
        "Clustering",
        "Groups in the code, found with or after its training.",
        (),
        (("Groups in codes, and round by round", "cluster", {}), ("Clusters on the map", "map", {"run": "dcec-10"})),
    ),
    Part(
        "4.4",
        "Anomaly detection",
        "What was never seen is badly restored.",
        (),
        (
            ("A threshold on the error", "detect", {}),
            ("The worst first", "reconstruct", {"run": "deep-16", "reconstruct.worst": "true"}),
        ),
    ),
    Part(
        "4.5",
        "Recommendation systems",
        "From the few ratings there are to all the others.",
        (
            (
                17,
                r"\textstyle\sum_{m} \term{recon}{\lVert r_m - h(r_m; \theta) \rVert^2_{\mathcal{O}}}"
                r" + \lambda\, \term{weights}{\mathrm{reg}}",
            ),
            (
                18,
                r"\textstyle\sum_{n} \term{recon}{\lVert r_n - h(r_n; \theta) \rVert^2_{\mathcal{O}}}"
                r" + \lambda\, \term{weights}{\mathrm{reg}}",
            ),
        ),
        (("Rate a few films", "recommend", {}),),
    ),
    Part(
        "4.6",
        "Dimensionality reduction",
        "Few numbers to see by.",
        (),
        (
            ("Codes beside PCA, LDA, Isomap, UMAP, t-SNE", "reduce", {}),
            ("Codes by PCA, UMAP or t-SNE", "map", {"run": "deep-16"}),
        ),
    ),
    Part("5", "Advanced techniques", "Generators against critics."),
    Part(
        "5.1",
        "Generative adversarial networks",
        "A critic takes the place of the KL, of the pixels' comparison, or learns to encode.",
        (),
        (("Exhibit: adversarial codes", "adversarial", {}), ("Draws of a GAN", "generate", {"run": "gan-32"})),
    ),
    Part(
        "5.2",
        "Adversarially learned inference",
        "A critic of pairs of image and code.",
        (),
        (
            ("Fig. 6: one code, attributes switched", "attributes", {"run": "attribute-ali-faces"}),
            ("ALI, HALI and ALICE beside each other", "adversarial", {}),
        ),
    ),
    Part(
        "5.3",
        "Wasserstein autoencoders",
        "Moving one distribution into another, and the codes all together.",
        (
            (19, r"W_c(P_X, P_G) = \inf_{\Gamma} \mathbb{E}_{(X, Y) \sim \Gamma}\left[c(X, Y)\right]"),
            (20, r"W_1(P_X, P_G) = \sup_{\lVert f \rVert_L \le 1} \mathbb{E} f(X) - \mathbb{E} f(Y)"),
            (21, r"\inf_{Q} \term{recon}{\mathbb{E}\, c(X, G(Z))} + \lambda\, \term{mmd}{\mathcal{D}_Z(Q_Z, P_Z)}"),
        ),
        (
            ("Fig. 7: clouds of VAE and WAE", "wasserstein", {}),
            ("Exhibit: transport, primal and dual", "transport", {}),
        ),
    ),
    Part(
        "5.4",
        "Deep feature consistent VAE",
        "Images are compared by what a trained network sees.",
        (),
        (
            ("Exhibit: feature loss", "features", {}),
            ("Reconstructions by features", "reconstruct", {"run": "dfc-vae-16"}),
        ),
    ),
    Part(
        "5.5",
        "PixelCNN decoders",
        "Pixel after pixel, each from those before it.",
        (),
        (("Fig. 8: drawn pixel by pixel", "pixelcnn", {"run": "pixelcnn-classes"}),),
    ),
)


@st.cache_data(show_spinner=False)
def errata(stamp: float) -> tuple[list[list[str]], dict[str, list[str]]]:
    """Rows (where, the text, what we do) of docs/errata.md, and our findings by section."""
    text = ERRATA.read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ")
    ][1:]
    found: dict[str, list[str]] = {}
    for item in re.split(r"\n- ", text.split("## Findings")[1])[1:]:
        section = re.match(r"§(\d(?:\.\d)?)", item)
        if section:
            found.setdefault(section[1], []).append(" ".join(item.split()))
    return rows, found


def errs(part: Part) -> list[str]:
    """What docs/errata.md says of a section: of its equations, and our findings."""
    rows, findings = errata(ERRATA.stat().st_mtime)
    own = {str(number) for number, _ in part.equations}
    lines = []
    for where, said, done in rows:
        numbers = re.findall(r"\d+(?:\.\d)?", where)
        if (where.startswith("§") and numbers[0] == part.number) or ("Eq" in where and own & set(numbers)):
            lines.append(f"**{where}**: {said}. We: {done}.")
    return lines + findings.get(part.number, [])


def examples(part: Part, runs: list[Run]) -> list[Run]:
    keys = [key for key, entry in CATALOG.items() if entry.section == f"§{part.number}"]
    return [run for run in runs if run.info.model in keys]


def show(part: Part, runs: list[Run]) -> None:
    with st.container(key=f"halves-{part.number.replace('.', '-')}"):
        words, live = st.columns([3, 2], gap="large")
    with words:
        st.subheader(f"§{part.number} {part.title}", anchor=f"s{part.number.replace('.', '-')}")
        st.markdown(part.idea)
        for number, latex in part.equations:
            st.latex(plots.equation(latex) + rf"\qquad ({number})")
        lines = errs(part)
        if lines:
            with st.expander("Where the text errs, and what we found", icon=":material/edit_note:"):
                st.markdown("\n".join(f"- {line}" for line in lines).replace("$", r"\$"))
    with live:
        for label, view, query in part.places:
            pages.link(view, label=f"**{label}**", icon="play_circle", query={**query, "v": VERSION})
        for run in examples(part, runs):
            fitting = [page.key for page in pages.for_run(run)]
            pages.link(
                fitting[0] if fitting else "run",
                label=escape_markdown(run.info.title),
                icon="blur_on",
                query={"run": run.info.id, "v": VERSION},
            )
        models = [entry for entry in CATALOG.values() if entry.section == f"§{part.number}"]
        for entry in models:
            pages.link(
                "train", label=f"Train: {entry.name}", icon="model_training", query={"model": entry.key, "v": VERSION}
            )
        if not (part.places or models):
            st.caption("Nothing of its own here; see the sections below it." if part.number == "5" else "No page yet.")


def page() -> None:
    head, side = st.columns([4, 1], vertical_alignment="bottom")
    with head:
        st.title("The chapter", anchor=False)
        st.markdown(
            "D. Bank, N. Koenigstein, R. Giryes, *Autoencoders* (arXiv:2003.05991): its sections, equations and figures in "
            "order, each with the places where it is alive. Terms have the same colours on all pages."
        )
    with side:
        copy_button("Copy the link")
    everything = list(pretrained())
    for each in PARTS:
        show(each, everything)
        st.divider()
