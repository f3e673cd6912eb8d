//! The rules of promotion manifests, each with the code that reports name it by. A code never changes its meaning.

use yaml::YamlRule;

wording::codes! {
    /// A rule of promotion manifests. The text of each says what breaks it.
    pub enum Rule {
        UnreadableFile = "unreadable-file": "A file or directory that cannot be read.",
        LinkedDirectory = "linked-directory": "A link to a directory.",
        NameNotUtf8 = "name-not-utf8": "A name of a file or directory that is not UTF-8.",
        MisplacedFile = "misplaced-file": "A YAML file at a place where it is not read.",
        MissingFile = "missing-file": "A project with one of its two files.",
        FileTooLarge = "file-too-large": "A file over the size limit.",
        EmptyFile = "empty-file": "A file without content.",
        ThinFileAsPlain = "thin-file-as-plain": "A file of a thin manifest in the place of a plain manifest.",
        YamlSyntax = "yaml-syntax": "Text that is not YAML, or nested too deeply.",
        AmbiguousLineBreak = "ambiguous-line-break": "A line break that YAML readers disagree on.",
        SecondDocument = "second-document": "A second YAML document.",
        YamlTag = "yaml-tag": "A YAML tag.",
        YamlAlias = "yaml-alias": "A YAML alias.",
        TooManyValues = "too-many-values": "A file with too many YAML values.",
        DuplicateKey = "duplicate-key": "A key twice in one mapping.",
        UnknownKey = "unknown-key": "A key that does not exist.",
        WrongType = "wrong-type": "A value of the wrong type.",
        QuotedValue = "quoted-value": "A number or truth value in quotes.",
        DigestOutsideDmap = "digest-outside-dmap": "A digest that is not inside a `dmap`.",
        MissingName = "missing-name": "A registry or image without a `name`.",
        MissingRegistries = "missing-registries": "No `registries`.",
        InvalidRegistry = "invalid-registry": "A registry `name` that is not HOST or HOST/PATH.",
        MissingSource = "missing-source": "No source registry.",
        SecondSource = "second-source": "More than one source registry.",
        MissingDestination = "missing-destination": "No destination registry.",
        TooManyDestinations = "too-many-destinations": "Too many destination registries.",
        DestinationInSource = "destination-in-source": "A destination that is the source or lies inside it.",
        DuplicateDestination = "duplicate-destination": "A destination that is listed twice.",
        InvalidImageName = "invalid-image-name": "An image name outside the grammar of repositories.",
        InvalidDigest = "invalid-digest": "A digest outside the grammar.",
        InvalidTag = "invalid-tag": "A tag outside the grammar.",
        EmptyTag = "empty-tag": "A tag without text.",
        Sha512WithTags = "sha512-with-tags": "A sha512 digest with tags.",
        NameTooLong = "name-too-long": "An image whose name is too long below a registry prefix.",
        TooManyProblems = "too-many-problems": "More problems in one file than are reported.",
    }
}

impl From<YamlRule> for Rule {
    fn from(rule: YamlRule) -> Self {
        match rule {
            YamlRule::FileTooLarge => Self::FileTooLarge,
            YamlRule::Syntax => Self::YamlSyntax,
            YamlRule::SecondDocument => Self::SecondDocument,
            YamlRule::Tag => Self::YamlTag,
            YamlRule::Alias => Self::YamlAlias,
            YamlRule::TooManyValues => Self::TooManyValues,
            YamlRule::DuplicateKey => Self::DuplicateKey,
            YamlRule::UnknownKey => Self::UnknownKey,
            YamlRule::WrongType => Self::WrongType,
            YamlRule::QuotedValue => Self::QuotedValue,
        }
    }
}

/// How severe a broken rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something that is requested is not promoted.
    Error,
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
        }
    }
}

impl Rule {
    /// How severe it is to break this rule.
    #[must_use]
    pub const fn severity(self) -> Severity {
        Severity::Error
    }
}
