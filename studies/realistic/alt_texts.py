"""What the figures of notebook 10 show, for who cannot see them: the alternative texts."""

ALT_TEXTS = {
    "closely":
        "Image sheet of three photographs in four rows: private; found from the plain gradient, "
        "recognisable; found behind PRECODE by an attacker who compares everything, noise; found "
        "behind PRECODE by an attacker who leaves the random gradients out, recognisable again.",
    "both_ends":
        "Image sheet: four images of the laboratory at the left, four of the round at the right. "
        "Below the private images what the attack finds: at the left many can be recognised, at "
        "the right none or few.",
    "ladder_lenet":
        "Dots by network, LeNet: decibels above the mean colour in the laboratory, with each "
        "property of the round alone, in the round with each property taken back, and in the "
        "round.",
    "ladder_resnet20":
        "Dots by network, ResNet-20: decibels above the mean colour in the laboratory, with each "
        "property of the round alone, in the round with each property taken back, and in the "
        "round.",
    "dpsgd":
        "Two panels against the noise multiplier. Left: the share of images that any attack names "
        "among 201 is at most one below a multiplier of about 0.2, and falls to one in 201 above "
        "ten. Right: a bound that is far above the dots of our attack, and the line of a server "
        "that cheats between them.",
    "defenses":
        "A line a defense: decibels above the mean colour of the plain attacker as a dot and of "
        "the adaptive attacker as a diamond; a dashed line without defense.",
}
