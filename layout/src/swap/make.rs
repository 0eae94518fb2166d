//! Making a swap area again: arguments for `mkswap`.

use super::Swap;

impl Swap {
    /// Programs that making needs.
    pub const TOOLS: &[&str] = &["mkswap"];

    /// Arguments for `mkswap` that make this area on `device`.
    #[must_use]
    pub fn mkswap(&self, device: &str) -> Vec<String> {
        let mut args = ["-U", &self.uuid].map(str::to_owned).to_vec();
        if !self.label.is_empty() {
            args.extend(["-L".to_owned(), self.label.clone()]);
        }
        args.push(device.to_owned());
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_and_label_come_back() {
        let swap = Swap { uuid: "u-1".to_owned(), label: "swap0".to_owned() };
        assert_eq!(swap.mkswap("/dev/vda3").join(" "), "-U u-1 -L swap0 /dev/vda3");
        let plain = Swap { label: String::new(), ..swap };
        assert_eq!(plain.mkswap("/dev/vda3").join(" "), "-U u-1 /dev/vda3");
    }
}
