//! The properties that are synced when the configuration does not say otherwise (R-PRJ-1).

/// Names of properties; anything else that is sent is dropped, never stored, never delivered (R-PRJ-2).
const ALLOWED: [&str; 22] = [
    "cm:author",
    "cm:description",
    "cm:latitude",
    "cm:longitude",
    "cm:title",
    "exif:dateTimeOriginal",
    "exif:exposureTime",
    "exif:fNumber",
    "exif:flash",
    "exif:focalLength",
    "exif:isoSpeedRatings",
    "exif:manufacturer",
    "exif:model",
    "exif:orientation",
    "exif:pixelXDimension",
    "exif:pixelYDimension",
    "exif:resolutionUnit",
    "exif:software",
    "exif:xResolution",
    "exif:yResolution",
    "sys:locale",
    // The name is a field of its own; agents that send it as a property too do no harm.
    "cm:name",
];

/// Whether a property is synced; `cm:name` is, but as the name.
#[must_use]
pub fn is_allowed(name: &str) -> bool {
    name != "cm:name" && ALLOWED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_prj_1_only_listed_properties_are_synced() {
        assert!(is_allowed("cm:title") && is_allowed("exif:yResolution"));
        assert!(!is_allowed("cm:name") && !is_allowed("cm:creator") && !is_allowed("acme:price"));
    }
}
