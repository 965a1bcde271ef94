"""From bytes to patches: series, volume, lungs, atlas, registration, resampling, patches, phantom."""
