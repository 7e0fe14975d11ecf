"""What each figure of notebook 03 shows, for who cannot see it: product -> text."""

ALT_TEXTS = {
    "along_training": (
        "Four line plots over the epochs of training, for LeNet and a narrow ResNet-18, median "
        "with a band over images: the gradient's length, its cosine with other images' "
        "gradients, and the squared and the cosine distance to a noisy copy. At the end the "
        "ResNet's bands of length and squared distance span far more than its band of cosine "
        "distance."),
    "closely_strip": (
        "Image sheet, one row: a portrait of an astronaut, from noise at iteration 0 to iteration "
        "4,800 and the private image, with the PSNR under each. The outline is there early, under "
        "noise that hardly changes for most of the attack and fades in the last columns."),
    "prop31_recovery": (
        "Image sheet, one row: a photograph of an astronaut at 224 by 224 pixels, and beside it "
        "the picture obtained by dividing the first dense layer's weight gradient by its bias "
        "gradient. The two look the same."),
    "prop31_features": (
        "Image sheet, one row: a photograph reduced to 8 by 8 grey pixels, and seven of LeNet's "
        "feature maps of the same size, divided out of the gradient. Some maps hint at where "
        "the subject is, with light and dark areas that follow its outline; none is the image."),
    "fig2_pictures": (
        "Image sheet, one column an image; the rows are the private images, then L-BFGS on the "
        "squared distance and the cosine attack on an untrained LeNet, then both on a trained "
        "one, with the PSNR under each. L-BFGS ends either close to the image or in noise; the "
        "cosine attack keeps colours and shapes of most images, blurred or grainy."),
    "fig5_local_steps": (
        "Two dot plots of PSNR, one dot an image, with the median as a bar: left against the "
        "number of local steps for LeNet, right against the local learning rate for a narrow "
        "ConvNet. A dotted line, where drawn, is what the set's mean colour reaches; no group "
        "on the right rises clearly above it."),
    "fig4_width_depth": (
        "Dot plot of PSNR, one dot an image, with the median as a bar: one group a network, "
        "narrow ResNet-18s of growing width, then deeper ResNets of width 8. The dotted line, "
        "where drawn, is what the set's mean colour reaches; most groups lie around or below "
        "it, and wider networks come out higher."),
    "fig6_large_batch": (
        "Image sheet, two rows: the private images of one batch whose labels all differ, and "
        "below them what was recovered, sorted by PSNR from left to right. Below are blurred "
        "patches of colour; at the left some follow the image's main areas, at the right hardly "
        "anything can be made out."),
    "dishonest_server": (
        "Image sheet, one column an image: private, what an honest server recovers from a "
        "trained network, and what an active server recovers after permuting the classes, with "
        "the PSNR under each. No picture is clear, but the active server's show more colours "
        "and outlines where the honest server's are mostly noise."),
    "fig1_imagenet": (
        "Image sheet, one row a photograph: an astronaut, a pagoda. From "
        "left to right the attack on the trained network at more and more iterations, from noise "
        "to the end; where it is stored the end of the same attack on the untrained network; at "
        "the right the private photograph. PSNR and ST-LPIPS stand under the ends."),
    "fig1_ranked": (
        "Image sheet of ten photographs, five a line, what the attack returns above the private "
        "one. A cat's eye, a pagoda, a flower, a cup, a tissue, a rocket and a face can be made "
        "out in wrong colours. Retina, galaxies and motorcycle cannot. ST-LPIPS ranks the eye, "
        "the retina and the pagoda first, the rocket and the face near the end."),
    "loss_and_picture": (
        "Left, scatter plot, x: gradient distance at the end, y: PSNR, one dot a restart, "
        "joined by a line for each image: the lower the distance, the better the picture, "
        "within and between images. Right, line plot of mean PSNR against restarts: choosing by "
        "the distance does almost as well as choosing by the private image."),
    "aggregated": (
        "Dot plot of PSNR, one dot an image, against the number of clients in the mean, 1, 2, 4 "
        "or 8, with the median as a bar. An image alone is recovered best and one among eight "
        "worse; the dotted line, where drawn, is what the set's mean colour reaches without any "
        "gradient."),
    "several_clients": (
        "Image sheet, one row an image, with the PSNR under each: the private image, then what the "
        "attack finds when its client is alone, and when it is one of 2, 4 and 16 in a mean. "
        "Alone one picture is nearly clear, a cat, and one, a ship, is full of noise. The cat can "
        "be made out among two and four; among sixteen patches of colour are left of both."),
    "several_clients_psnr": (
        "Two dot plots of PSNR, one dot an image and network, against the number of clients in "
        "the mean, 1 to 16: left LeNet, right ResNet-20. A dotted line is what the mean colour "
        "reaches. On LeNet most dots start far above the line and fall towards it; on ResNet-20 "
        "they lie about the line from the start."),
    "partial_updates": (
        "Image sheet, one row a network (LeNet, ViT): the private image, then what the "
        "attack finds from the whole update and from parts of it, with the mean PSNR under each. "
        "On LeNet the whole and all layers but the head show the cat, the head a trace of it, the "
        "rest patches of colour. The ViT gives square patches of the picture in wrong places, "
        "also from its first layer alone."),
    "closely_audit": (
        "Image sheet, one row: the private image, and the reconstruction from the update that "
        "plain PyTorch computed. It is noise in which the places of dark hair and dark clothes "
        "can just be made out."),
    "closely_plain": (
        "Image sheet, one row: noise at the start, what the plain loop found after 600 steps, and "
        "the private portrait of an astronaut. The middle picture shows her face, hair and dark "
        "suit, slightly blurred."),
}
