"""What the figures of notebook 06 show, for a reader who cannot see them: the alternative texts."""

_AVD_SHEET = (
    "Image sheet of {images}, one column an attack, by rising AVD: the image found with its "
    "scores, and below it the private one; a dashed line marks an AVD of 0.8. Guesses go "
    "from clean through noisy but legible to pure noise; some left of the line have little"
    " of the private image.")
_HEAT_MAPS = (
    "Heat maps, one column a strategy, one row a set of images; x: channels of the LeNet; "
    "y: batch size; each cell gives, as a number and a shade, the percentage of images "
    "with {criterion}. Compare the strategies, and how the share changes with the batch "
    "size and with the channels.")

ALT_TEXTS = {
    "closely_demixing":
        "Image sheet in three rows: eight private faces, and what the division returns of them "
        "for two widths of the weights. The left four have different labels and come back, "
        "sharply where weights are wide, but for one; the right four have one label and give the "
        "same blurred blend four times.",
    "closely_error":
        "Three line plots against the standard deviation of the weights: weight of the other "
        "images, error of the closed form, share of exact images; one line a batch size, a "
        "dashed one for equal labels. The wider the weights the smaller the error; larger "
        "batches are worse, and equal labels stay a blend throughout.",
    "r1_labels":
        "Two histograms, for float32 and float64: x: logarithm of the squared error of a "
        "pixel; y: images; plain bars for different labels, hatched ones for the same label. "
        "Errors of the same label crowd just below 0; most of different labels are many powers"
        " of ten smaller, and a part is as large or larger.",
    "r2_losses":
        "Two histograms, for narrow and wide weights: x: logarithm of the squared error of a "
        "pixel; y: images; bars for the squared error of the logits, and for cross-entropy "
        "with labels that occur once and that are repeated. Very small errors are nearly all "
        "of cross-entropy with a label that occurs once.",
    "avd_rankings":
        "Four line plots, one a way to move away from a face: noise, shift, blending, "
        "brightness; y: median of each measure as a share of its largest, one line a measure. "
        "MSE, PSNR and SSIM rise throughout; AVD jumps at the first pixel of shift and is "
        "blind to brightness, or through 8 bits rises and falls with it.",
    "r4_dense":
        "Five line plots: x: batch size; y: share of images recovered; one line a loss and "
        "draw of labels, dashed for equal labels. Published rates first, then ours by AVD, "
        "SSIM, MSE, and in the span. Rates fall as batches grow, mostly faster with equal "
        "labels; the attack in the span recovers most.",
    "r4_guesses":
        "Image sheet in two rows, the private digit above, the found one below it with its "
        "AVD, SSIM and MSE; one column an image of the first client's batch at each batch "
        "size. Single images come back legible but too bright; in larger batches several lie "
        "under noise and are hard to read.",
    "span_closely":
        "Image sheet, one column a face of a batch of one label, three rows: the private faces, "
        "what the division returns, and what the search in the span returns, with its MSE. The "
        "division gives one blurred blend four times, the search the four different private "
        "faces.",
    "span_rotations":
        "Image sheet, one column a batch of three faces of one label, turned by 0 to 120 degrees,"
        " with the distance of its gradient below, behind squared error and cross-entropy. "
        "Columns between are blends of faces, yet under the squared error all have one gradient; "
        "at 120 degrees the faces only change places.",
    "span_adaptive":
        "Three line plots: cross-entropy with random labels, with equal labels, and squared "
        "error of the logits with equal labels; x: batch size; y: share of images recovered in"
        " the span; one line each for labels known, labels inferred, and three rounds. With "
        "cross-entropy nearly all come back at every batch size; in the last panel rates fall "
        "from B = 3 on.",
    "r5_dense_accuracy":
        "Grid of scatter plots of a dense network, a row a batch size, a column a criterion; x: "
        "images recovered, %; y: test accuracy, %; one mark a training strategy. Published values"
        " first, then ours by AVD, by MSE with the closed form, and in the span. The squared "
        "error of the logits lies lowest in accuracy; equal labels lie left of cross-entropy, but"
        " not in the span.",
    "r6_lenet_accuracy":
        "Grid of scatter plots of a LeNet, a row a setting of batch size and channels, a column a"
        " criterion; x: images recovered, %; y: test accuracy, %; one mark a training strategy. "
        "Published values first, then ours by AVD and by MSE, best of five attacks. By AVD the "
        "squared error of the softmax lies furthest left; by MSE nearly nothing is recovered.",
    "noise_against_mixing":
        "Line plot: x: share of images recovered by any of four attacks; y: test accuracy; two"
        " lines follow growing Gaussian noise, for random and for equal labels, four single "
        "marks are mixtures without noise. With equal labels very little noise hides most "
        "images at small cost; random labels need far more noise.",
    "r3_avd_sheets": _AVD_SHEET.format(images="digits"),
    "r3_avd_faces": _AVD_SHEET.format(images="faces"),
    "r7_heat_maps": _HEAT_MAPS.format(criterion="MSE < 0.01"),
    "r7_heat_maps_avd": _HEAT_MAPS.format(criterion="AVD < 0.8"),
}
