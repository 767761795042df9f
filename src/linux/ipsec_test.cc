#include "linux/ipsec.h"

#include <poll.h>

#include <cstdlib>

#include "linux/testing.h"

namespace warren {
namespace {

class IpsecTest : public testing::NetnsTest {
 protected:
  static void add_policy() {
    ASSERT_EQ(std::system("ip xfrm policy add src 10.7.0.1 dst 10.7.0.2 dir out "  // NOLINT
                          "tmpl proto esp mode transport"),
              0);
  }
  static bool changes(const IpsecPolicies& policies, int milliseconds) {
    pollfd waiting{policies.fd(), POLLIN, 0};
    return ::poll(&waiting, 1, milliseconds) == 1;
  }
};

TEST_F(IpsecTest, PoliciesThatAreThereAreSeen) {
  const auto before = IpsecPolicies::watch();
  if (!before && before.error().code == EPROTONOSUPPORT) GTEST_SKIP() << "kernel without IPsec";
  good(before);
  EXPECT_FALSE(before->were_there());
  add_policy();
  const auto after = IpsecPolicies::watch();
  good(after);
  EXPECT_TRUE(after->were_there());
}

TEST_F(IpsecTest, PoliciesThatAppearAreSeen) {
  auto policies = IpsecPolicies::watch();
  if (!policies && policies.error().code == EPROTONOSUPPORT) GTEST_SKIP() << "kernel without IPsec";
  good(policies);
  EXPECT_FALSE(changes(*policies, 0));
  EXPECT_FALSE(policies->take_added());
  add_policy();
  EXPECT_TRUE(changes(*policies, 10'000));
  EXPECT_TRUE(policies->take_added());
  EXPECT_FALSE(policies->take_added());
  ASSERT_EQ(std::system("ip xfrm policy flush"), 0);  // NOLINT
  EXPECT_TRUE(changes(*policies, 10'000));
  EXPECT_FALSE(policies->take_added());
}

}  // namespace
}  // namespace warren
