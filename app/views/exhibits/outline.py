"""The outline of the chapter: its sections and equations in order, and where each is alive on the pages."""

from __future__ import annotations

from typing import NamedTuple


class Section(NamedTuple):
    """A section of the chapter: its idea in our words, its equations by number, and where it is alive.

    places: (label, key of the page, what its link says behind the page's path).
    """

    number: str
    title: str
    idea: str
    equations: tuple[tuple[int, str], ...] = ()
    places: tuple[tuple[str, str, dict[str, str]], ...] = ()


RECON = r"\term{recon}{\Delta(x, B \circ A(x))}"
KL = r"\term{kl}{D_{KL}\left(q_\phi(z|x) \,\Vert\, p_\theta(z)\right)}"
LIKELIHOOD = r"\term{recon}{\mathbb{E}_{q_\phi(z|x)} \log p_\theta(x|z)}"
SECTIONS = (
    Section(
        "1",
        "Autoencoders",
        "An encoder A compresses the input, and a decoder B restores it. Both learn from the difference alone.",
        ((1, rf"\arg\min_{{A,B}} \mathbb{{E}}\left[{RECON}\right]"),),
        (
            ("Fig. 1: an image passes through", "reconstruct", {"run": "deep-16"}),
            ("Exhibit: bottleneck", "bottleneck", {}),
            ("Exhibit: layer by layer", "layers", {}),
        ),
    ),
    Section(
        "2",
        "Regularized autoencoders",
        "Where the code is not narrow, something else must keep the encoder from copying.",
        (),
        (("Exhibit: regularizers", "regularizers", {}),),
    ),
    Section(
        "2.1",
        "Sparse autoencoders",
        "Only a few units may be active for an image, or each unit only for a few images.",
        (
            (2, rf"\mathbb{{E}}\left[{RECON}\right] + \lambda \term{{sparsity}}{{\textstyle\sum_i |a_i|}}"),
            (
                3,
                rf"\mathbb{{E}}\left[{RECON}\right] + "
                r"\term{sparsity}{\textstyle\sum_j D_{KL}(p \Vert \hat p_j)}",
            ),
        ),
    ),
    Section(
        "2.2",
        "Denoising autoencoders",
        "The network sees a damaged input and must return the clean one.",
        (
            (4, r"C_\sigma(\tilde x|x) = \mathcal{N}(x, \sigma^2 I)"),
            (5, r"C_p(\tilde x|x) = \beta \odot x,\quad \beta \sim \mathrm{Ber}(p)"),
        ),
        (
            ("Fig. 2: damaged, code, restored", "denoising", {}),
            ("One image through it", "reconstruct", {"run": "denoising-32"}),
        ),
    ),
    Section(
        "2.3",
        "Contractive autoencoders",
        "Small changes of the input should hardly change the code.",
        ((6, rf"\mathbb{{E}}\left[{RECON}\right] + \lambda \term{{jacobian}}{{\lVert J_A(x) \rVert_F^2}}"),),
    ),
    Section(
        "3",
        "Variational autoencoders",
        "The code is a random variable, and the likelihood of the data is bounded from below.",
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
    Section(
        "3.1",
        "The reparameterization trick",
        "A sample is a function of noise, so that gradients pass. Several weighted samples tighten the bound.",
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
        (("Samples and their weights", "importance", {"run": "iwae-16"}),),
    ),
    Section(
        "3.2",
        "Example: the normal distribution",
        "The encoder gives means and variances, and the reconstruction term is a squared error.",
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
            ("Other distributions of pixels", "likelihoods", {}),
            ("A code with its spread", "reconstruct", {"run": "vae-2d"}),
        ),
    ),
    Section(
        "3.3",
        "Disentangled autoencoders",
        "A heavier KL term makes the latent dimensions less dependent on each other.",
        ((16, rf"\mathcal{{L}} = -\beta {KL} + {LIKELIHOOD}"),),
        (
            ("Exhibit: β-disentanglement", "beta", {}),
            ("Latent dimensions of a β-VAE on sprites", "traverse", {"run": "beta-vae-sprites"}),
        ),
    ),
    Section(
        "4.1",
        "Generative model",
        "Sample a code from the prior and decode it.",
        (),
        (("Fig. 4: originals beside samples", "generate", {"run": "vae-2d"}),),
    ),
    Section(
        "4.2",
        "Classification",
        "Codes serve as features where labels are few.",
        (),
        (("Fig. 5: one code for classifier and decoder", "classify", {}),),
    ),
    Section(
        "4.3",
        "Clustering",
        "Groups of codes are found after the training, or during it.",
        (),
        (("Clusters of codes, round by round", "cluster", {}), ("Clusters on the map", "map", {"run": "dcec-10"})),
    ),
    Section(
        "4.4",
        "Anomaly detection",
        "What the network has never seen is reconstructed badly.",
        (),
        (
            ("A threshold on the error", "detect", {}),
            ("The worst reconstructions first", "reconstruct", {"run": "deep-16", "reconstruct.worst": "true"}),
        ),
    ),
    Section(
        "4.5",
        "Recommendation systems",
        "A few known ratings predict all the others.",
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
    Section(
        "4.6",
        "Dimensionality reduction",
        "A few numbers stand for many, so that data can be drawn in the plane.",
        (),
        (
            ("Codes beside PCA, LDA, Isomap, UMAP, t-SNE", "reduce", {}),
            ("Codes by PCA, UMAP or t-SNE", "map", {"run": "deep-16"}),
        ),
    ),
    Section("5", "Advanced techniques", "Generators play against critics."),
    Section(
        "5.1",
        "Generative adversarial networks",
        "A critic replaces the KL term or the comparison of pixels, or learns to encode.",
        (),
        (("Exhibit: adversarial codes", "adversarial", {}), ("Samples of a GAN", "generate", {"run": "gan-32"})),
    ),
    Section(
        "5.2",
        "Adversarially learned inference",
        "A critic judges pairs of image and code.",
        (),
        (
            ("Fig. 6: one code, attributes switched", "attributes", {"run": "attribute-ali-faces"}),
            ("ALI, HALI and ALICE beside each other", "adversarial", {}),
        ),
    ),
    Section(
        "5.3",
        "Wasserstein autoencoders",
        "A distance between distributions is the cost of moving one into the other; it matches codes to the prior.",
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
    Section(
        "5.4",
        "Deep feature consistent VAE",
        "Images are compared by the features of a trained network.",
        (),
        (
            ("Exhibit: feature loss", "features", {}),
            ("Reconstructions by features", "reconstruct", {"run": "dfc-vae-16"}),
        ),
    ),
    Section(
        "5.5",
        "PixelCNN decoders",
        "An image is drawn pixel by pixel, each given those before it.",
        (),
        (("Fig. 8: drawn pixel by pixel", "pixelcnn", {"run": "pixelcnn-classes"}),),
    ),
)
