"""The page for phones: a release classifies on the device, without a network once it is loaded."""
