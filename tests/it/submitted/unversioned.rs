//! A bucket without versions is said wherever it matters.

use aws_sdk_s3::types::BucketVersioningStatus;

use super::{Place, texts};

#[tokio::test]
async fn a_bucket_without_versions_is_said_at_submit_by_the_worker_and_by_the_doctor() {
    for (status, words) in [
        (None, "keeps no versions: "),
        (Some(BucketVersioningStatus::Suspended), "keeps no versions any more"),
        (Some(BucketVersioningStatus::Enabled), ""),
    ] {
        let place = Place::s3(status).await;
        let files = ["one.txt", "two.txt"].map(|name| place.file("in", name, &texts()[0]));
        let said = [
            place.ok(&["submit", &files[0], &files[1]]),
            place.ok(&["worker", "--drain"]),
            place.ok(&["doctor"]),
        ];
        for said in said {
            let times = said.err.matches("versions").count();
            assert!(words.is_empty() && times == 0 || said.err.contains(words), "{}", said.err);
            assert!(times <= 2, "said once: {}", said.err);
        }
    }
}
