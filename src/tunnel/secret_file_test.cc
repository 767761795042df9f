#include "tunnel/secret_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace warren::tunnel {
namespace {

using ::testing::HasSubstr;

class SecretFileTest : public ::testing::Test {
 protected:
  SecretFileTest() {
    std::string name = std::filesystem::temp_directory_path() / "secret.XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& text, ::mode_t mode = 0600) {
    const auto path = folder_ / "key";
    std::ofstream(path) << text;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  void expect_error(const std::string& path, const std::string& what) {
    const auto key = read_key_file(path);
    ASSERT_FALSE(key);
    EXPECT_THAT(key.error().message, HasSubstr(what));
    EXPECT_THAT(key.error().message, HasSubstr(path));
  }

  const std::string text_ = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
  std::filesystem::path folder_;
};

TEST_F(SecretFileTest, ReadsAKey) {
  const auto key = read_key_file(write(text_ + "\n"));
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->data()[0], 0xc8);
  EXPECT_TRUE(read_key_file(write(text_)));
  EXPECT_TRUE(read_key_file(write(text_ + "\r\n", 0400)));
}

TEST_F(SecretFileTest, RefusesWhatOthersMayRead) {
  for (const ::mode_t mode : {0640U, 0604U, 0660U, 0601U})
    expect_error(write(text_, mode), "chmod 600");
}

TEST_F(SecretFileTest, RefusesAnotherUsersFile) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  const auto path = write(text_);
  ASSERT_EQ(::chown(path.c_str(), 4711, 0), 0);
  expect_error(path, "belongs to user 4711");
}

TEST_F(SecretFileTest, RefusesWhatIsNoKeyWithoutShowingIt) {
  for (const auto& text : {text_.substr(1), text_ + text_, text_ + "\n" + text_, std::string("")})
    expect_error(write(text), "holds no key");
  const auto key = read_key_file(write("x" + text_));
  ASSERT_FALSE(key);
  EXPECT_THAT(key.error().message, ::testing::Not(HasSubstr(text_.substr(0, 6))));
}

TEST_F(SecretFileTest, RefusesWhatIsNoFile) {
  expect_error(folder_ / "absent", "No such file");
  expect_error(folder_, "not a file");
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(pipe, "not a file");
}

}  // namespace
}  // namespace warren::tunnel
