//! Enums of stable codes: what programs match in a report. Codes never change their meaning.

/// Declares a public enum of codes: each variant with its code and its meaning, which is also its documentation.
///
/// The enum has `ALL`, in the order of declaration, `as_str`, which gives the code, and `Display`, which prints it.
///
/// ```
/// wording::codes! {
///     /// Why a delivery failed.
///     pub enum DeliveryCode {
///         NoSuchAddress = "no-such-address": "The address does not exist.",
///     }
/// }
/// assert_eq!(DeliveryCode::ALL.map(DeliveryCode::as_str), ["no-such-address"]);
/// assert_eq!(DeliveryCode::NoSuchAddress.to_string(), "no-such-address");
/// ```
#[macro_export]
macro_rules! codes {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $code:literal: $meaning:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $(#[$of_variant])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of declaration.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            /// The code in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The same for codes that are written to reports and are part of their JSON Schemas. The crate needs `serde` and
/// `schemars`, which `codes!` does not.
#[macro_export]
macro_rules! report_codes {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($variant:ident = $code:literal: $meaning:literal,)+
        }
    ) => {
        $crate::codes! {
            $(#[$attribute])*
            #[derive(::serde::Serialize, ::schemars::JsonSchema)]
            pub enum $name {
                $(#[serde(rename = $code)] $variant = $code: $meaning,)+
            }
        }
    };
}
