"""What would decide the papers' claims that stay undecided: the run, and what it costs here.

Costs are core-minutes, reckoned from the seconds that the stored cells of the same sweep took. A
number of networks is what the test needs at the spread that was measured, where that can be said.
"""

OF = {  # study -> claim -> the run
    "dlg": {
        "prune_20": "no further run: the three criteria disagree on twelve networks, and the paper "
                    "judges by eye; a panel of viewers would",
        "resnet_batch": "four more networks, 15 core-minutes",
        "more_images": "eight more networks, 16 core-minutes",
        "one_at_a_time": "eight more networks, 25 core-minutes",
    },
    "idlg": {
        "label_level_CIFAR-100": "150 more images, 70 core-minutes",
        "image_better_LFW": "200 more faces, 150 core-minutes",
    },
    "inverting_gradients": {
        "lenet_level": "twelve more networks, 22 core-minutes",
        "direction_is_steadier": "two more trainings, 18 core-minutes (declared: full_path_resnet)",
    },
    "gias": {
        "zw_w": "some 80 more victims, 80 core-minutes",
        "batch_8": "six more victims, 13 core-minutes (declared: batch_8_more)",
    },
    "huang_evaluation": {
        "batch": "five networks at batches of four, 25 core-minutes (declared: full_none_b4)",
    },
    "mixing_gradients": {
        "r4_mse_avd": "30 more networks, 12 core-minutes",
        "r6_equal_mse": "16 more networks, 45 core-minutes",
        "r6_mse_mse": "16 more networks, 45 core-minutes",
        "r7_channels": "no affordable run: 7 % against 6 % would need hundreds of networks, "
                       "of 3 core-minutes each",
    },
}
