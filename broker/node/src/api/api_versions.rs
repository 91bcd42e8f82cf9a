//! ApiVersions: what this listener serves, and the cluster's features.
//!
//! Promises: a version that we don't know is answered in version 0 with UNSUPPORTED_VERSION and the whole table, so that the
//! client can ask again in one that we do.

use bytes::Bytes;
use wire::api::{ApiSet, all};
use wire::error::ErrorCode;
use wire::frame::{self, FrameError, RequestHead};
use wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use wire::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::text;
use crate::controller::features;
use crate::image::MetadataImage;

/// The first version that may carry a supported feature whose lowest level is 0.
const WITH_LEVEL_ZERO: i16 = 4;
/// The first version in which a client says what it is.
const WITH_CLIENT_SOFTWARE: i16 = 3;

pub fn answer(
    set: ApiSet,
    image: &MetadataImage,
    head: &RequestHead,
    request: &ApiVersionsRequest,
) -> ApiVersionsResponse {
    if head.api_version >= WITH_CLIENT_SOFTWARE
        && !(is_plain(&request.client_software_name) && is_plain(&request.client_software_version))
    {
        return ApiVersionsResponse::default().with_error_code(ErrorCode::InvalidRequest.code());
    }
    let supported = features::supported()
        .filter(|(_, min, _)| *min > 0 || head.api_version >= WITH_LEVEL_ZERO)
        .map(|(name, min, max)| {
            SupportedFeatureKey::default()
                .with_name(text(name))
                .with_min_version(min)
                .with_max_version(max)
        });
    let finalized = image.features.iter().filter(|(_, level)| **level > 0).map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(text(name))
            .with_min_version_level(*level)
            .with_max_version_level(*level)
    });
    ApiVersionsResponse::default()
        .with_api_keys(table(set))
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(image.offset)
}

/// The whole answer to a version that we don't serve.
pub fn unsupported(set: ApiSet, head: &RequestHead) -> Result<Bytes, FrameError> {
    let body = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(table(set));
    frame::encode_response_as(head, 0, &body)
}

fn table(set: ApiSet) -> Vec<ApiVersion> {
    let row = |(key, versions): &(i16, wire::api::Versions)| {
        ApiVersion::default()
            .with_api_key(*key)
            .with_min_version(versions.min)
            .with_max_version(versions.max)
    };
    all(set).iter().map(row).collect()
}

/// Kafka's pattern for names and versions of client software: letters, digits, `-` and `.`, neither of these at an end.
fn is_plain(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.chars().all(inner) && ends(name.chars().next()) && ends(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use wire::api::ApiSet;
    use wire::api::key;
    use wire::frame::RequestHead;
    use wire::messages::ApiVersionsRequest;

    use super::{answer, is_plain, unsupported};
    use crate::api::text;
    use crate::image::MetadataImage;

    fn head(api_version: i16) -> RequestHead {
        RequestHead { api_key: key::API_VERSIONS, api_version, correlation_id: 5, client_id: None }
    }

    #[test]
    fn produce_is_advertised_from_version_0() {
        let request = ApiVersionsRequest::default();
        let response = answer(ApiSet::Broker, &MetadataImage::empty(), &head(0), &request);
        let produce = response.api_keys.iter().find(|row| row.api_key == key::PRODUCE);
        assert_eq!(produce.map(|row| row.min_version), Some(0));
        assert_eq!(response.error_code, 0);
    }

    #[test]
    fn an_unknown_version_is_answered_in_version_0() {
        let frame = unsupported(ApiSet::Broker, &head(9)).expect("encodes");
        assert_eq!(&frame[..6], &[0, 0, 0, 5, 0, 35]);
    }

    #[test]
    fn client_software_is_checked_as_kafka_checks_it() {
        assert!(is_plain("librdkafka") && is_plain("2.12.1-dev"));
        assert!(!is_plain("") && !is_plain("-a") && !is_plain("a b"));
        let request = ApiVersionsRequest::default().with_client_software_name(text("a/b"));
        let response = answer(ApiSet::Broker, &MetadataImage::empty(), &head(3), &request);
        assert_eq!(response.error_code, 42);
    }
}
