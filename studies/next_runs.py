"""What would decide the papers' claims that stay undecided or not tested: the run, and its cost.

Core-minutes are reckoned from the seconds that the stored cells of the same sweep took. A number of
networks is what the test needs at the spread that was measured, where that can be said.
Core-hours of the paper's own networks are reckoned from one iteration of one image on two cores:
ResNet20-4 174 ms, ResNet-18 of width 64 208 ms, ConvNet-64 357 ms, for eight images (or clients)
behind each of three networks.
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
        "ResNet20-1_untrained": "ResNet20-4 for 4,800 iterations, 22 core-hours",
        "ResNet20-1_trained": "ResNet20-4 for 4,800 iterations, 22 core-hours",
        "fedavg_one_image": "ConvNet-64 for 8,000 iterations, 500 core-hours",
        "fedavg_more_images": "ConvNet-64 for 8,000 iterations, 460 core-hours",
        "fedavg_fewer_steps": "ConvNet-64 for 8,000 iterations, 610 core-hours",
        "hundred_steps": "ConvNet-64 for 8,000 iterations, 4,000 core-hours",
        "large_rate": "ConvNet-64 for 8,000 iterations, 380 core-hours",
        "large_batch": "ResNet32-10 for 24,000 iterations on a GPU; one iteration was not timed",
        "wider": "ResNet-18 of widths 16 and 64 for 4,800 iterations, 15 core-hours",
        "deeper": "ResNet-18 of width 64 for 4,800 iterations, 13 core-hours, and ResNet-50, "
                  "which was not timed",
        "ablation_l2": "ResNet-18 of width 64 for 4,800 iterations, 27 core-hours",
        "ablation_tv": "ResNet-18 of width 64 for 4,800 iterations, 27 core-hours",
        "ablation_lbfgs": "ResNet-18 of width 64 for 4,800 iterations, 27 core-hours",
        "active_server": "ResNet-18 of width 64 for 4,800 iterations, 27 core-hours",
    },
    "gias": {
        "zw_w": "some 80 more victims, 80 core-minutes",
        "batch_8": "six more victims, 13 core-minutes (declared: batch_8_more)",
    },
    "huang_evaluation": {
        "batch": "five networks at batches of four, 25 core-minutes (declared: full_none_b4)",
    },
    "exact": {
        "imprint_largest": "eight more networks, one core-minute",
    },
    "realistic": {
        "laboratory_lenet": "ten more LeNets, 2 core-minutes",
        "resists_lenet": "six more LeNets, 7 core-minutes",
        "leaks_lenet": "the attack of 2506.08435 with its own settings, which was not built",
        "leaks_resnet20": "the attack of 2506.08435 with its own settings, which was not built",
        "batch_no_obstacle": "the attack of 2506.08435 with its own settings, which was not built",
        "laboratory_resnet20": "4,800 iterations behind six networks, 25 core-minutes",
        "resists_resnet20": "six networks, 25 core-minutes",
        "inference_mode": "4,800 iterations behind six networks in both modes, 50 core-minutes",
        "broken_precode": "ten more LeNets, 4 core-minutes",
        "adaptive_precode": "ten more LeNets, 4 core-minutes",
    },
    "mixing_gradients": {
        "r4_mse_avd": "30 more networks, 12 core-minutes",
        "r6_equal_mse": "16 more networks, 45 core-minutes",
        "r6_mse_mse": "16 more networks, 45 core-minutes",
        "r7_channels": "no affordable run: 7 % against 6 % would need hundreds of networks, "
                       "of 3 core-minutes each",
    },
}
