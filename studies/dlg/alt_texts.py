"""What each figure of notebook 01 shows, for a reader who cannot see it: by the product's name."""

ALT = {
    "closely_division":
        "Image sheet, one row: the two private photographs of a batch, then what the division "
        "gives from three rows of the dense layer's gradient: the row of each of the two labels "
        "and that of another class. The rows of the two labels give nearly their own photographs, "
        "another row a blend of both.",
    "closely_one_attack":
        "Image sheet, one row: one attack on a photograph of an astronaut at 24 by 24 pixels, "
        "from the noise of the start over 5, 10, 15 and 20 iterations to 40, and the private "
        "image. The portrait emerges from coloured noise until it is clear; under each picture "
        "stands the label the attacker believes in, which settles before the picture does.",
    "fig3_leakage":
        "Image sheet, one row an attack, columns from the noise of the start through growing "
        "numbers of iterations to the private image. In the recovered rows noise turns into a "
        "sharp copy, of grey images within a few iterations, of coloured ones later; the row "
        "marked failed turns into black and white blocks and stays so.",
    "fig4_batch":
        "Image sheet, one column a place in a batch of eight: the dummy images at the start, "
        "after 20 iterations and at the end, and below them the private images. A note under each "
        "private image names the dummy matched to it, its error, and by = or ≈ whether it was "
        "recovered; the two orders generally differ.",
    "fig5_layers":
        "Two line plots over iterations, both axes logarithmic. Left: median squared gradient "
        "difference of recovered clients, one line for each of four layers; all fall together. "
        "Right: objective D and error of the image, one line each for every client; where "
        "recovered (solid) D starts to fall first and the error follows; failed clients are "
        "dotted.",
    "fig6_mse":
        "Dot plot, y: error of the image, logarithmic, one group of dots a set, with the number "
        "recovered above and the median with quartiles and the mean beside it. The dots fall into "
        "two groups, recovered ones far below the dashed line at 0.001 and failed ones far above, "
        "and the mean lies between them, where hardly any dot is.",
    "table1_gradient_norms":
        "Line plot, x: depth from the first convolution to the last layer, y: norm of the "
        "weight's gradient, logarithmic. For LeNet with sigmoids and ResNet-20 with tanh the norm "
        "stays within a few powers of ten; for ResNet-20 with sigmoids it falls steadily towards "
        "the first convolution, where it is smaller by many powers of ten.",
    "table1_relative":
        "Image sheet, two rows: above, what the relative objective finds on ResNet-20 with "
        "sigmoids, with the error under each picture; below, the private images, one column a "
        "client. The upper pictures are noisy and blurred, but colours and coarse shapes are "
        "those of the private images.",
    "fig7_defenses":
        "Four line plots, x: iteration, y: median objective D, logarithmic; one panel each for "
        "Gaussian noise, Laplacian noise, fewer bits and pruning, one line a strength and one for "
        "no defense. Without defense D keeps falling; the stronger the defense, the earlier and "
        "higher it levels off.",
    "fig7_images":
        "Image sheet: the same private image as recovered under each defense, with its edge "
        "distance AVD under it, and the private one last. Weak noise, fewer bits and light pruning "
        "leave it plain to see; towards more noise and heavier pruning it becomes grainy and then "
        "nothing but noise.",
    "beyond_activation":
        "Heat maps, one a kind of search: rows are the activations sigmoid, tanh, GELU and ReLU, "
        "columns the scale s of the random weights from 0.1 to 1; each cell holds the number of "
        "images recovered of eight. Smooth activations recover images at small scales, ReLU "
        "recovers none at any, and nothing is recovered at 1.",
    "beyond_information":
        "Scatter plot, x: independent equations for each pixel, y: result at the end of the "
        "attack, logarithmic; for every attack the objective D and the error of the image. Left "
        "of a dashed line at 1, D is tiny and the error stays large; right of it the error falls "
        "to the level of D, but for a few searches where both are large.",
    "beyond_information_images":
        "Image sheet, one row: the picture recovered from the gradient of a network of 8 "
        "channels, from one of 16 channels, and the private photograph. The first is coloured "
        "noise with a trace of the subject, the second a faithful copy; the notes below show that "
        "the objective is small for both.",
}
