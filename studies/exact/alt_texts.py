"""What the figures of notebook 09 show, for who cannot see them: the alternative texts."""

ALT_TEXTS = {
    "closely_blend":
        "Image sheet of six photographs in two rows: the private batch; and what a division of the "
        "whole gradient gives, one garish blend repeated six times.",
    "closely_spear":
        "Image sheet of six photographs in three rows: the private batch; what a division of the "
        "whole gradient gives, one grey blend repeated six times; and what SPEAR gives, the same "
        "six photographs as in the first row.",
    "closely_zeros":
        "A grid of six rows, one an image, and forty columns, one a neuron. About half of the "
        "fields are white: the neuron is at rest for that image, and its gradient is zero.",
    "spear_success":
        "Two panels against the batch size. Left: the share of batches that come back whole falls "
        "from one to zero, later for layers with more neurons. Right: the number of draws that "
        "was needed, as dots, grows with the batch size along the dashed line of two to the power "
        "B.",
    "same_updates":
        "Image sheet: a batch of four behind ReLU at the left and behind a sigmoid at the right; "
        "below the private images what each of five attacks finds. Behind ReLU SPEAR is exact; "
        "behind the sigmoid it finds nothing, shown grey, and the search in the span is exact.",
    "large_batches":
        "A panel a batch size: the share of a large batch that one gradient gives, against the "
        "number of bins or neurons. An imprint module gives most, near the dashed line of "
        "counting; trap weights give less, honest neurons least.",
    "imprint_sheet":
        "Image sheet of eight private photographs of one large batch, and below each the nearest "
        "that the imprint module gives: most are the same picture, the others a blend.",
    "signs":
        "Four panels, one a sign that a client can compute: signal ratio, repeated rows, leaning "
        "rows, surprise. In each, dots for honest and for dishonest models, with dashed lines at "
        "the alarm. Imprint modules show in repeated rows, trap weights in leaning rows, class "
        "fishing in the signal ratio.",
}
